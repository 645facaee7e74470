"""Side effects: each activity takes one object, does one thing and answers with a value."""
