"""What people see of a run: the live console, ``report.json`` and ``report.html``. It watches and never decides."""
