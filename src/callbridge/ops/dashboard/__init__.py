"""What operators see in a browser: pages rendered here, live by server-sent events, whole without a script."""
