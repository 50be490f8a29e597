"""Create and update the warehouse in ClickHouse: its tables and views are made from the contract."""
