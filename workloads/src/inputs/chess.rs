//! Chess positions in Forsyth-Edwards notation, one a line, for engines. Nobody is in check, pawns stand where pawns can
//! stand, and each side has its king: an engine can play on from any of them.

use std::fmt::Write;

use crate::random::SplitMix64;

/// Squares are numbered rank by rank from White's side; 0 is a1.
type Board = [u8; 64];

const EMPTY: u8 = b' ';

/// About `bytes` of crowded positions: both armies on their own halves, nearly complete.
pub(super) fn middlegames(seed: u64, bytes: usize) -> Vec<u8> {
    positions(seed, bytes, middlegame)
}

/// About `bytes` of endgames: kings, a few pawns, a piece or two, anywhere.
pub(super) fn endgames(seed: u64, bytes: usize) -> Vec<u8> {
    positions(seed, bytes, endgame)
}

fn positions(seed: u64, bytes: usize, draw: fn(&mut SplitMix64) -> Board) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut text = String::with_capacity(bytes + 80);
    while text.len() < bytes {
        let board = draw(&mut random);
        if !in_check(&board, b'K') && !in_check(&board, b'k') {
            let side = *random.pick(&['w', 'b']);
            // Writing to a String does not fail.
            let _ = writeln!(text, "{} {side} - - 0 1", placement(&board));
        }
    }
    text.into_bytes()
}

fn middlegame(random: &mut SplitMix64) -> Board {
    let mut board = [EMPTY; 64];
    for white in [true, false] {
        let square = |file: usize, rank: usize| if white { 8 * rank + file } else { 8 * (7 - rank) + file };
        let piece = |piece: u8| if white { piece } else { piece.to_ascii_lowercase() };
        for file in 0..8 {
            if random.below(10) > 0 {
                board[square(file, 1 + [0, 0, 0, 1, 1, 2][random.below(6)])] = piece(b'P');
            }
        }
        for &officer in b"KQRRBBNN" {
            if officer != b'K' && random.below(12) == 0 {
                continue;
            }
            let ranks = if officer == b'K' || officer == b'R' { 1 } else { 3 };
            let at = std::iter::repeat_with(|| square(random.below(8), random.below(ranks)));
            let free = at.take(200).find(|&at| board[at] == EMPTY);
            if let Some(at) = free {
                board[at] = piece(officer);
            }
        }
    }
    board
}

fn endgame(random: &mut SplitMix64) -> Board {
    let mut board = [EMPTY; 64];
    let officers = ["Rr", "RBrn", "Qq", "Nb", "BPrp", "RPr"][random.below(6)];
    let pawns = 2 + random.below(3);
    let men = officers.bytes().chain(b"Pp".repeat(pawns)).chain(*b"Kk");
    for man in men {
        let pawn = man.eq_ignore_ascii_case(&b'p');
        let at = std::iter::repeat_with(|| if pawn { 8 + random.below(48) } else { random.below(64) });
        let kings_apart = |at: usize| {
            man != b'k' || board.iter().position(|&other| other == b'K').is_none_or(|king| distance(king, at) > 1)
        };
        let free = at.take(200).find(|&at| board[at] == EMPTY && kings_apart(at));
        if let Some(at) = free {
            board[at] = man;
        }
    }
    board
}

/// King's moves between two squares.
fn distance(a: usize, b: usize) -> usize {
    (a / 8).abs_diff(b / 8).max((a % 8).abs_diff(b % 8))
}

/// Whether this king stands in check; a missing king counts as one that does.
fn in_check(board: &Board, king: u8) -> bool {
    let Some(at) = board.iter().position(|&piece| piece == king) else { return true };
    let foe = |piece: u8| if king == b'K' { piece.to_ascii_lowercase() } else { piece };
    let (file, rank) = ((at % 8) as i32, (at / 8) as i32);
    let look = |right: i32, up: i32| {
        let (file, rank) = (file + right, rank + up);
        ((0..8).contains(&file) && (0..8).contains(&rank)).then(|| board[(8 * rank + file) as usize])
    };
    let forward = if king == b'K' { 1 } else { -1 };
    let steps = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)];
    let jumps = [(1, 2), (2, 1), (-1, 2), (-2, 1), (1, -2), (2, -1), (-1, -2), (-2, -1)];
    let pawns = [(1, forward), (-1, forward)];
    let near = |moves: &[(i32, i32)], piece: u8| moves.iter().any(|&(right, up)| look(right, up) == Some(foe(piece)));
    let far = steps.iter().any(|&(right, up)| {
        let first = (1..8).map_while(|far| look(right * far, up * far)).find(|&piece| piece != EMPTY);
        let slider = if right == 0 || up == 0 { b'R' } else { b'B' };
        first.is_some_and(|piece| piece == foe(slider) || piece == foe(b'Q'))
    });
    far || near(&steps, b'K') || near(&jumps, b'N') || near(&pawns, b'P')
}

fn placement(board: &Board) -> String {
    let mut text = String::new();
    for rank in (0..8).rev() {
        let mut gap = 0;
        for &piece in &board[8 * rank..8 * rank + 8] {
            if piece == EMPTY {
                gap += 1;
                continue;
            }
            if gap > 0 {
                text.push_str(&gap.to_string());
            }
            gap = 0;
            text.push(char::from(piece));
        }
        if gap > 0 {
            text.push_str(&gap.to_string());
        }
        if rank > 0 {
            text.push('/');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(pieces: &[(usize, u8)]) -> Board {
        let mut board = [EMPTY; 64];
        pieces.iter().for_each(|&(at, piece)| board[at] = piece);
        board
    }

    #[test]
    fn checks_are_seen_along_lines_from_knights_and_from_pawns() {
        assert!(in_check(&board(&[(4, b'K'), (60, b'r')]), b'K'));
        assert!(!in_check(&board(&[(4, b'K'), (60, b'r'), (12, b'P')]), b'K'), "a pawn stands between");
        assert!(in_check(&board(&[(4, b'K'), (21, b'n')]), b'K'));
        assert!(in_check(&board(&[(4, b'K'), (13, b'p')]), b'K'));
        assert!(!in_check(&board(&[(60, b'k'), (53, b'p')]), b'k'), "its own pawn");
    }

    #[test]
    fn each_position_has_two_kings_and_no_pawn_on_an_edge() {
        for text in [middlegames(3, 4000), endgames(3, 4000)] {
            for line in String::from_utf8(text).expect("ASCII").lines() {
                let board = line.split(' ').next().expect("a placement");
                assert_eq!((board.matches('K').count(), board.matches('k').count()), (1, 1), "{line}");
                let ranks: Vec<&str> = board.split('/').collect();
                assert_eq!(ranks.len(), 8, "{line}");
                assert!(!ranks[0].contains(['P', 'p']) && !ranks[7].contains(['P', 'p']), "{line}");
            }
        }
    }
}
