"""Figures and traces of jobs for those who collect them; see docs/telemetry.md.

``metrics`` needs prometheus_client, ``spans`` the API of OpenTelemetry: the extras
``libxlpy[prometheus]`` and ``libxlpy[opentelemetry]``. Nothing else imports them.
"""
