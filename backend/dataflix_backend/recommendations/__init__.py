"""The API's recommendations, from the champion model and from a user's current ratings.

One thread of one process, the leader, asks MLflow's registry for the champion (:mod:`.registry_watcher`) and
stores it on the disk (:mod:`.model_store`). A thread of each process maps the stored model into memory and
reads the catalogue (:mod:`.model_cache`). A request takes the model and catalogue in service
(:mod:`.served_model`), reads the user's films and ratings from PostgreSQL (:mod:`.user_films`) and ranks
films (:mod:`.recommend`).
"""
