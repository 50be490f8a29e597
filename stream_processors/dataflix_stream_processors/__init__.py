"""The masker, which turns the raw topics into the masked ones, and its dead letters."""
