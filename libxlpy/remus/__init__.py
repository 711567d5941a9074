"""A guest protected by a copy on another host, brought up to date epoch by epoch.

``primary`` runs where the guest is, ``backup`` where its copy is; ``epochs`` counts
what is closed and acknowledged, ``devices`` holds back what the world may not see.
"""
