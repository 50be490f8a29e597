"""The warehouse: its tables as SQL, made from the contract."""
