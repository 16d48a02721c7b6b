"""From journaled turns to quoted ones: views made in the background, partitions loaded, ranked, packed."""
