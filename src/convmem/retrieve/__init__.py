"""From journaled turns to quoted ones: makes their views, loads an owner's views, ranks and packs turns."""
