"""What a detector says about one picture: the record, the map, the drawing."""
