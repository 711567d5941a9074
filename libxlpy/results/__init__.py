"""What a job ended with: guest and image as found, repairs done, figures, the story.

``report`` is what results and errors have in common, ``of_jobs`` has a result for each
kind of job, ``statistics`` its figures, ``figures`` those that others
see while it runs.
"""
