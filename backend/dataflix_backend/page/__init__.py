"""The web page at ``/``, and the live view of the pipeline that it shows."""
