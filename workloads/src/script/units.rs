//! Sizes and counts as people write them.

/// Bytes, as `4096B`, `768KiB`, `8MiB`; the unit is required.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let scaled = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (digits, factor) = scaled.ok_or_else(|| format!("size \"{text}\" has no unit (B, KiB, MiB or GiB)"))?;
    let number: usize = digits.parse().map_err(|_| format!("size \"{text}\" is no number with a unit"))?;
    number.checked_mul(factor).ok_or_else(|| format!("size \"{text}\" is too large"))
}

/// A count, as `500`, `200k`, `60M`, `2G` (powers of ten).
pub fn parse_count(text: &str) -> Result<u64, String> {
    let (digits, factor) = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .unwrap_or((text, 1));
    let number: u64 = digits.parse().map_err(|_| format!("\"{text}\" is no count, as 60M"))?;
    number.checked_mul(factor).filter(|&count| count > 0).ok_or_else(|| format!("count \"{text}\" is out of range"))
}
