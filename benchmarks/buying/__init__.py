"""What a buyer says, measured: one module for each group of rows, and the data that they share."""
