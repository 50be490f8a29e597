"""The dbt webhook: a server that runs dbt on request, one run at a time, and shows the results over HTTP."""
