"""The masker: raw topics in, masked topics out."""
