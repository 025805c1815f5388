//! The code against its original, every way of losing pieces, and what a lying encoder meets.

use proptest::prelude::*;
use reed_solomon_original::galois_8::ReedSolomon as Original;

use super::*;
use crate::{
    piece::Piece,
    slice::{self, GroupRange},
};

/// Bytes that differ everywhere and follow from a seed.
fn plaintext(seed: u64, len: usize) -> BytesMut {
    let mut bytes = BytesMut::zeroed(len);
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn joined(decoded: &DecodedChunk) -> Vec<u8> {
    decoded.parts.concat()
}

#[test]
fn the_parity_is_that_of_the_original_library() {
    let original = Original::new(DATA_PIECES, PARITY_PIECES).expect("valid numbers");
    for len in [1, 1000, 65_537, 3 * 1024 * 1024 + 5] {
        let encoded = encode(Code::Rs16Of48, plaintext(1, len));
        let mut shards: Vec<Vec<u8>> = encoded.pieces.iter().map(|p| p.bytes().to_vec()).collect();
        let ours = shards.clone();
        shards[DATA_PIECES..].iter_mut().for_each(|parity| parity.fill(0));
        original.encode(&mut shards).expect("one length");
        assert!(shards == ours, "{len} bytes");
    }
}

/// GF(2^8) by the polynomial x^8 + x^4 + x^3 + x^2 + 1, bit by bit.
fn times(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |sum, bit| {
        let doubled = (sum << 1) ^ if sum & 0x80 == 0 { 0 } else { 0x1d };
        doubled ^ if b >> bit & 1 == 0 { 0 } else { a }
    })
}

fn power(a: u8, n: usize) -> u8 {
    (0..n).fold(1, |product, _| times(product, a))
}

/// The parity bytes of one byte of each data piece, as `proto/README.md` defines them: the data are the values at 0 to 15
/// of a polynomial of degree below 16, the parity its values at 16 to 47 (Lagrange's formula; minus is plus here).
fn parity_by_definition(data: [u8; DATA_PIECES]) -> Vec<u8> {
    let basis = |x: u8, i: u8| {
        (0..16).filter(|j| *j != i).fold(1, |product, j| times(product, times(x ^ j, power(i ^ j, 254))))
    };
    let value = |x: u8| (0u8..).zip(data).fold(0, |sum, (i, byte)| sum ^ times(byte, basis(x, i)));
    (16..48).map(value).collect()
}

#[test]
fn the_parity_is_what_the_specification_says() {
    let encoded = encode(Code::Rs16Of48, plaintext(7, 1000));
    for at in 0..encoded.descriptor.piece_len() {
        let column: Vec<u8> = encoded.pieces.iter().map(|piece| piece.bytes()[at]).collect();
        let (data, parity) = column.split_first_chunk().expect("48 pieces");
        assert_eq!(parity_by_definition(*data), parity, "byte {at}");
    }
}

#[test]
fn lengths_at_every_edge_come_back() {
    for len in [1, 63, 64, 65, 1023, 1024, 1025, 65_536, 65_537, CODING_SLICE_BYTES * 16 + 1, 16 * 1024 * 1024] {
        let plain = plaintext(2, len);
        let encoded = encode(Code::Rs16Of48, plain.clone());
        for pieces in [&encoded.pieces[..16], &encoded.pieces[32..], &encoded.pieces[7..23]] {
            let decoded = decode(&encoded.descriptor, pieces).expect("16 pieces");
            assert!(joined(&decoded) == plain[..], "{len} bytes");
        }
        assert!(is_chunk(&encoded.descriptor, &plain));
        assert!(!is_chunk(&encoded.descriptor, &plain[1..]));
        assert!(!is_chunk(&encoded.descriptor, &plaintext(3, len)));
    }
}

#[test]
fn a_copy_is_the_chunk_itself() {
    let encoded = encode(Code::Rep, plaintext(3, 1000));
    assert_eq!(encoded.pieces.len(), 1);
    let decoded = decode(&encoded.descriptor, &encoded.pieces).expect("one copy");
    assert_eq!((joined(&decoded), decoded.computed), (plaintext(3, 1000).to_vec(), 0));
}

#[test]
fn fifteen_pieces_are_not_enough() {
    let encoded = encode(Code::Rs16Of48, plaintext(4, 5000));
    let error = decode(&encoded.descriptor, &encoded.pieces[..15]).expect_err("15 pieces");
    assert_eq!(error, DecodeError::NotEnough { chunk: encoded.descriptor.id(), have: 15, need: 16 });
    let twice: Vec<_> = encoded.pieces[..15].iter().chain(&encoded.pieces[..15]).cloned().collect();
    assert!(matches!(decode(&encoded.descriptor, &twice), Err(DecodeError::NotEnough { have: 15, .. })));
}

/// An uploader commits to pieces of its own making and hands out true copies of them.
fn committed(chunk_len: usize, pieces: &[Vec<u8>]) -> (Descriptor, Vec<VerifiedPiece>) {
    let hashes: Vec<Hash> = pieces.iter().map(|piece| Hash::of(piece)).collect();
    let descriptor = Descriptor::new(Code::Rs16Of48, chunk_len, &hashes);
    let piece = |(index, bytes): (u8, &Vec<u8>)| {
        Piece { index, bytes: bytes.clone().into() }.verify(&descriptor).expect("committed")
    };
    let pieces = (0u8..).zip(pieces).map(piece).collect();
    (descriptor, pieces)
}

#[test]
fn parity_that_is_no_code_word_is_an_error_and_never_wrong_bytes() {
    let encoded = encode(Code::Rs16Of48, plaintext(5, 5000));
    let mut pieces: Vec<Vec<u8>> = encoded.pieces.iter().map(|p| p.bytes().to_vec()).collect();
    pieces[20][3] ^= 1;
    let (descriptor, pieces) = committed(5000, &pieces);
    let error = decode(&descriptor, &pieces[10..26]).expect_err("piece 20 is in use");
    assert!(error.to_string().starts_with("inconsistent encoding"), "{error}");
    assert!(decode(&descriptor, &pieces[..16]).is_ok(), "the data pieces alone are what was put");
}

#[test]
fn padding_that_is_not_zero_is_an_error() {
    let encoded = encode(Code::Rs16Of48, plaintext(6, 1024));
    let pieces: Vec<Vec<u8>> = encoded.pieces.iter().map(|p| p.bytes().to_vec()).collect();
    let (descriptor, pieces) = committed(1000, &pieces);
    assert_eq!(
        decode(&descriptor, &pieces[..16]).expect_err("padded"),
        DecodeError::Padding { chunk: descriptor.id() }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sixteen_of_the_pieces_decode(
        seed: u64,
        len in 1usize..200_000,
        chosen in proptest::sample::subsequence((0..TOTAL_PIECES).collect::<Vec<_>>(), DATA_PIECES),
    ) {
        let encoded = encode(Code::Rs16Of48, plaintext(seed, len));
        let pieces: Vec<_> = chosen.iter().map(|i| encoded.pieces[*i].clone()).collect();
        let decoded = decode(&encoded.descriptor, &pieces).expect("16 pieces");
        prop_assert_eq!(joined(&decoded), plaintext(seed, len).to_vec());
        prop_assert_eq!(decoded.computed, chosen.iter().filter(|i| **i >= DATA_PIECES).count());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found(seed: u64, len in 1usize..100_000, piece in 0u8..48, bit: prop::sample::Index) {
        let encoded = encode(Code::Rs16Of48, plaintext(seed, len));
        let mut bytes = encoded.pieces[usize::from(piece)].bytes().to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let flipped = Piece { index: piece, bytes: bytes.into() };
        prop_assert!(flipped.verify(&encoded.descriptor).is_err());
    }
}

/// Proven slices of these pieces at one place.
fn slices(encoded: &EncodedChunk, indices: impl IntoIterator<Item = u8>, range: GroupRange) -> Vec<VerifiedSlice> {
    let cut = |index: u8| slice::cut(encoded.pieces[usize::from(index)].bytes(), range).expect("such groups");
    indices.into_iter().map(|i| slice::verify(&encoded.descriptor, i, range, &cut(i)).expect("true")).collect()
}

#[test]
fn any_sixteen_slices_and_a_witness_give_the_same_place_of_a_lost_piece() {
    let encoded = encode(Code::Rs16Of48, plaintext(3, 9 << 20));
    let lost = encoded.pieces[5].bytes();
    let range = GroupRange::new(9, 7).expect("such groups");
    for others in [(0..18).collect::<Vec<u8>>(), (16..33).collect(), (30..48).rev().collect(), (0..48).collect()] {
        let slices = slices(&encoded, others.into_iter().filter(|i| *i != 5), range);
        assert_eq!(decode_slice(5, &slices).expect("a code word")[..], lost[range.bytes(lost.len())]);
    }
    let too_few = slices(&encoded, 16..32, range);
    let chunk = encoded.descriptor.id();
    assert_eq!(decode_slice(5, &too_few), Err(DecodeError::NotEnough { chunk, have: 16, need: 17 }));
}

/// A chunk whose parity from index `from` on belongs to another content, each piece as its descriptor says.
fn crooked(other: impl Fn(&mut BytesMut), from: usize) -> EncodedChunk {
    let honest = plaintext(4, 1 << 20);
    let mut twisted = honest.clone();
    other(&mut twisted);
    let (honest, twisted) = (encode(Code::Rs16Of48, honest), encode(Code::Rs16Of48, twisted));
    let mixed = honest.pieces.iter().take(from).chain(twisted.pieces.iter().skip(from));
    let mixed: Vec<Bytes> = mixed.map(|piece| piece.bytes().clone()).collect();
    let hashes: Vec<Hash> = mixed.iter().map(|bytes| Hash::of(bytes)).collect();
    let descriptor = Descriptor::new(Code::Rs16Of48, 1 << 20, &hashes);
    let verified = (0u8..).zip(mixed).map(|(index, bytes)| Piece { index, bytes }.verify(&descriptor).expect("true"));
    EncodedChunk { pieces: verified.collect(), descriptor }
}

#[test]
fn a_witness_shows_that_the_slices_are_of_no_code_word() {
    let range = GroupRange::new(1, 2).expect("such groups");
    let all_flipped = |bytes: &mut BytesMut| bytes.iter_mut().for_each(|byte| *byte ^= 0xff);
    for from in [16, 17, 30, 47] {
        let chunk = crooked(all_flipped, from);
        let others = (0..48).filter(|i| *i != 5);
        let error = DecodeError::Inconsistent { chunk: chunk.descriptor.id(), index: 5 };
        assert_eq!(decode_slice(5, &slices(&chunk, others, range)), Err(error), "from {from}");
    }
}

/// The limit of what slices can show, told at [`decode_slice`]: parity of another content of the lost piece alone.
#[test]
fn parity_aimed_at_one_piece_is_shown_by_its_hash_and_by_no_number_of_slices() {
    let chunk = crooked(|bytes| bytes[5 * 65_536 + 20_000] ^= 1, 16);
    let range = GroupRange::new(1, 2).expect("such groups");
    let lost = chunk.pieces[5].bytes();
    let others = || (0..48u8).filter(|i| *i != 5);
    let seen = decode_slice(5, &slices(&chunk, others(), range)).expect("all of them agree");
    assert_ne!(seen[..], lost[range.bytes(lost.len())]);
    let pieces: Vec<_> = others().map(|i| chunk.pieces[usize::from(i)].clone()).collect();
    let error = decode(&chunk.descriptor, &pieces).map(|_| ());
    assert_eq!(error, Err(DecodeError::Inconsistent { chunk: chunk.descriptor.id(), index: 5 }));
}
