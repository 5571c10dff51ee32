//! A trained model as an artefact: versioned, checked when loaded.
