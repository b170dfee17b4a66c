"""Who may use the console, and how that is enforced: passwords, sessions, tokens, origins, headers, and the audit."""
