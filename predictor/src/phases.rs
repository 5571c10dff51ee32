//! Which execution phase a feature vector belongs to: k-means clusters as phases.
