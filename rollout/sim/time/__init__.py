"""Virtual time: event queues, event loops and clocks whose order depends only on the seed."""
