//! Both directions together, and RFC 7541's examples.

use super::decode::DecodeError;
use super::table::entry_size;
use super::{Decoder, Encoder, Field};

/// Names and values, in order.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn fields(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, DecodeError> {
    let mut fields = Vec::new();
    decoder.decode(block, |Field { name, value }| fields.push((name.to_vec(), value.to_vec())))?;
    Ok(fields)
}

fn encode(encoder: &mut Encoder, fields: &Fields) -> Vec<u8> {
    let mut block = Vec::new();
    encoder.begin(&mut block);
    for (name, value) in fields {
        encoder.field(name, value, &mut block);
    }
    block
}

fn table(decoder: &Decoder) -> Fields {
    decoder.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|b| *b != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A block of the RFC's: its bytes, the fields, the dynamic table after it with its size.
type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], usize);

#[track_caller]
fn check_examples(decoder: &mut Decoder, examples: &[Example<'_>]) {
    for (block, expected, expected_table, size) in examples {
        assert_eq!(decode(decoder, &hex(block)), Ok(fields(expected)), "{block}");
        assert_eq!(table(decoder), fields(expected_table), "{block}");
        let sizes = decoder.fields().map(|(name, value)| entry_size(name.len(), value.len()));
        assert_eq!(sizes.sum::<usize>(), *size, "{block}");
    }
}

/// RFC 7541 §C.2.
#[test]
fn single_fields() {
    let custom = ("custom-key", "custom-header");
    #[rustfmt::skip] // one row, one line
    let examples: &[Example<'_>] = &[
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &[custom], &[custom], 55),
        ("040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], &[], 0),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")], &[], 0),
        ("82", &[(":method", "GET")], &[], 0),
    ];
    for example in examples {
        check_examples(&mut Decoder::new(4096), &[*example]);
    }
}

const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
const CUSTOM: (&str, &str) = ("custom-key", "custom-value");

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), AUTHORITY],
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), AUTHORITY, NO_CACHE],
    &[(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), AUTHORITY, CUSTOM],
];

const TABLES_OF_REQUESTS: [&[(&str, &str)]; 3] =
    [&[AUTHORITY], &[NO_CACHE, AUTHORITY], &[CUSTOM, NO_CACHE, AUTHORITY]];

/// RFC 7541 §C.3 and §C.4.
#[test]
fn requests() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, coded] {
        let sizes = [57, 110, 164];
        let example = |i: usize| (blocks[i], REQUESTS[i], TABLES_OF_REQUESTS[i], sizes[i]);
        check_examples(&mut Decoder::new(4096), &[example(0), example(1), example(2)]);
    }
    // With the Huffman code the encoder's choices are the RFC's.
    let mut encoder = Encoder::new(4096);
    for (request, block) in REQUESTS.iter().zip(coded) {
        assert_eq!(encode(&mut encoder, &fields(request)), hex(block));
    }
}

const PRIVATE: (&str, &str) = ("cache-control", "private");
const DATE_21: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
const DATE_22: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
const LOCATION: (&str, &str) = ("location", "https://www.example.com");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const COOKIE: (&str, &str) = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");

/// RFC 7541 §C.5 and §C.6: with a table of 256 bytes, which evicts.
#[test]
fn responses() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
         3d31",
    ];
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let (s200, s302, s307) = ((":status", "200"), (":status", "302"), (":status", "307"));
    for blocks in [plain, coded] {
        let (first, second) = ([s302, PRIVATE, DATE_21, LOCATION], [s307, PRIVATE, DATE_21, LOCATION]);
        let third = [s200, PRIVATE, DATE_22, LOCATION, GZIP, COOKIE];
        let examples: [Example<'_>; 3] = [
            (blocks[0], &first, &[LOCATION, DATE_21, PRIVATE, s302], 222),
            (blocks[1], &second, &[s307, LOCATION, DATE_21, PRIVATE], 222),
            (blocks[2], &third, &[COOKIE, GZIP, DATE_22], 215),
        ];
        check_examples(&mut Decoder::new(256), &examples);
    }
}

#[test]
fn what_goes_into_the_table() {
    let usual = [
        ("Server", "squall"),
        ("Content-Type", "text/html; charset=UTF-8"),
        ("Date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("X-Frame-Options", "DENY"),
    ];
    let mut encoder = Encoder::new(4096);
    let mut decoder = Decoder::new(4096);
    let mut heads = Vec::new();
    for _ in 0..2 {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.status(200, &mut block);
        for (name, value) in usual {
            encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
        }
        heads.push((decode(&mut decoder, &block).unwrap(), block));
    }
    let lower: Vec<(String, &str)> =
        usual.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect();
    let mut expected = vec![(":status", "200")];
    expected.extend(lower.iter().map(|(name, value)| (name.as_str(), *value)));
    assert_eq!((&heads[0].0, &heads[1].0), (&fields(&expected), &fields(&expected)));
    assert_eq!(heads[1].1, hex("88 c1 c0 bf be"));

    #[rustfmt::skip] // one row, one line
    let rows = [
        ("Content-Length", "12", "0f0d 02 3132"),
        ("ETAG", "\"0a\"", "0f13 04 2230 6122"),
        ("X-Request-Id", "7", "00 0c 782d 7265 7175 6573 742d 6964 01 37"),
        (":path", "/a", "04 02 2f61"),
        ("Set-Cookie", "a=b", "1f28 03 613d 62"),
        ("authorization", "x", "1f08 01 78"),
        ("Accept-Encoding", "gzip, deflate", "90"),
        (":path", "/index.html", "85"),
        ("Vary", "", "bb"),
        ("date", usual[2].1, "bf"),
        ("dAtE", usual[2].1, "bf"),
    ];
    let before = table(&decoder);
    for (name, value, expected) in rows {
        let block = encode(&mut encoder, &fields(&[(name, value)]));
        assert_eq!(block, hex(expected), "{name}: {value}");
        let lower = name.to_ascii_lowercase();
        assert_eq!(decode(&mut decoder, &block), Ok(fields(&[(&lower, value)])));
    }
    assert_eq!(table(&decoder), before);
    // A large value is sent as it is, or in the Huffman code where that is shorter.
    for (value, length) in [("\u{1}".repeat(300), 303), ("0".repeat(300), 188 + 2)] {
        let block = encode(&mut encoder, &fields(&[("vary", &value)]));
        assert_eq!(block.len(), length + 2);
        assert_eq!(decode(&mut decoder, &block), Ok(fields(&[("vary", &value)])));
    }
    assert_eq!(table(&decoder), before);
}

#[test]
fn every_status() {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(4096));
    for status in (100..=999).chain((100..=999).rev()) {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.status(status, &mut block);
        assert_eq!(decode(&mut decoder, &block), Ok(fields(&[(":status", &status.to_string())])));
    }
}

/// RFC 7541 §4.2.
#[test]
fn sizes_of_the_encoders_table() {
    #[rustfmt::skip] // one row, one line
    let rows: &[(usize, &[usize], &str)] = &[
        (4096, &[], ""),
        (4096, &[4096], ""),
        (4096, &[65_536], ""),
        (4096, &[0], "20"),
        (4096, &[0, 4096], "20 3fe1 1f"),
        (4096, &[100, 30, 1000], "3e 3fc9 07"),
        (4096, &[1000, 30], "3e"),
        (100, &[], "3f45"),
        (100, &[4096], "3f45"),
        (100, &[10], "2a"),
        (0, &[4096], "20"),
        (8192, &[], ""),
        (8192, &[65_536], "3fe1 3f"),
    ];
    for (our_most, sizes, expected) in rows {
        let mut encoder = Encoder::new(*our_most);
        for size in *sizes {
            encoder.set_max_size(*size);
        }
        for expected in [*expected, ""] {
            let mut block = Vec::new();
            encoder.begin(&mut block);
            assert_eq!(block, hex(expected), "{our_most}, {sizes:?}");
        }
    }
}

#[test]
fn a_lowered_table_is_empty_when_it_is_raised_again() {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(4096));
    let head = fields(&[("server", "squall"), ("vary", "accept")]);
    assert_eq!(encode(&mut encoder, &head).len(), decode_len(&mut decoder, &mut Encoder::new(4096), &head));
    encoder.set_max_size(0);
    encoder.set_max_size(4096);
    let block = encode(&mut encoder, &head);
    assert!(block.starts_with(&hex("20 3fe1 1f 76")), "{block:x?}");
    assert_eq!(decode(&mut decoder, &block), Ok(head));
    assert_eq!(table(&decoder).len(), 2);
    encoder.set_max_size(0);
    let block = encode(&mut encoder, &fields(&[("server", "squall")]));
    assert_eq!(block, hex("20 0f27 06 7371 7561 6c6c"), "without indexing where nothing is kept");
}

fn decode_len(decoder: &mut Decoder, encoder: &mut Encoder, head: &Fields) -> usize {
    let block = encode(encoder, head);
    assert_eq!(decode(decoder, &block).as_ref(), Ok(head));
    block.len()
}

#[test]
fn wrong_blocks() {
    #[rustfmt::skip] // one row, one line
    let rows = [
        ("80", "index zero"),
        ("be", "an index above the static table, and nothing in the dynamic one"),
        ("ff ff ff ff 0f", "a large index"),
        ("ff 80 ff ff ff 0f", "the largest integer"),
        ("ff 81 ff ff ff 0f", "a larger one"),
        ("ff 80 80 80 80 80 00", "an integer of too many bytes"),
        ("ff", "an integer that is cut off"),
        ("7e 00", "a literal with the name of an index that is not there"),
        ("0f 2f 00", "the same without indexing"),
        ("40", "no name"),
        ("40 01", "a name that is cut off"),
        ("40 01 61", "no value"),
        ("40 01 61 02 62", "a value that is cut off"),
        ("40 01 61 7f ff ff ff ff 0f", "a value of 4 GiB"),
        ("40 81 ff 00", "a name in the Huffman code with padding of eight bits"),
        ("41 81 18", "a value whose padding is not of ones"),
        ("41 84 ff ff ff ff", "EOS in a value"),
        ("82 20", "a new size behind a field"),
        ("41 01 61 3f e1 1f", "a new size behind a literal"),
        ("3f e2 1f", "a size above ours"),
        ("20 3f e2 1f", "the same behind a good one"),
        ("3f", "a size that is cut off"),
    ];
    for (block, what) in rows {
        assert_eq!(decode(&mut Decoder::new(4096), &hex(block)), Err(DecodeError), "{what}");
    }
    let mut decoder = Decoder::new(4096);
    assert_eq!(
        decode(&mut decoder, &hex("20 3fe1 1f 40 00 00")),
        Ok(fields(&[("", "")])),
        "two sizes, no text"
    );
    assert_eq!(decode(&mut decoder, &hex("be")), Ok(fields(&[("", "")])));
    assert_eq!(decode(&mut decoder, &hex("bf")), Err(DecodeError));
    assert_eq!(decode(&mut decoder, &hex("3e")), Ok(vec![]), "a size alone");
    assert_eq!(table(&decoder), []);
}

/// RFC 7541 §4.4.
#[test]
fn a_field_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(100);
    assert_eq!(decode(&mut decoder, &hex("40 01 61 01 62")), Ok(fields(&[("a", "b")])));
    assert_eq!(table(&decoder).len(), 1);
    // With the name of the one that it drives out.
    let large = "c".repeat(68);
    let block = [&[0x7e, 68], large.as_bytes()].concat();
    assert_eq!(decode(&mut decoder, &block), Ok(fields(&[("a", &large)])));
    assert_eq!(table(&decoder), []);
}

#[test]
fn an_idle_decoder_keeps_little() {
    let mut decoder = Decoder::new(4096);
    let mut block = vec![0x00, 0x01, b'a', 0xff, 0xa1, 0x1e];
    block.extend([0; 4000]); // 6,400 times `0`
    assert_eq!(decode(&mut decoder, &block), Ok(fields(&[("a", &"0".repeat(6400))])));
    assert_eq!(decoder.scratch_capacity(), 0);
    assert_eq!(decode(&mut decoder, &hex("04 81 63")), Ok(fields(&[(":path", "/")])));
    assert!((1..=64).contains(&decoder.scratch_capacity()), "a small one is used again");
}

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() % limit
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }

    fn field(&mut self) -> (Vec<u8>, Vec<u8>) {
        const NAMES: &[&str] = &[
            ":path",
            ":authority",
            ":status",
            "date",
            "server",
            "content-length",
            "set-cookie",
            "vary",
            "x-a",
            "x-b",
            "x-c",
            "x-request-id",
            "x-quite-a-long-name-that-fills-the-table",
        ];
        let mut name = self.pick(NAMES).as_bytes().to_vec();
        if self.below(4) == 0 {
            name.extend(self.below(50).to_string().bytes());
        }
        let length = match self.below(20) {
            0 => self.below(6000),
            1..4 => self.below(300),
            _ => 1,
        };
        let first = self.below(20) as u8;
        let any = self.below(3) == 0;
        let value = (0..length).map(|_| if any { self.next() as u8 } else { b'a' + first });
        (name, value.collect())
    }
}

#[test]
fn random_blocks_there_and_back() {
    let mut random = Random(7541);
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(4096));
    let mut shorter = 0;
    for round in 0..10_000 {
        for _ in 0..[0, 0, 0, 0, 0, 0, 0, 0, 1, 2][random.below(10)] {
            encoder.set_max_size([0, 50, 200, 1000, 4096, 4096, 65_536][random.below(7)]);
        }
        let mut head: Fields = (0..random.below(12)).map(|_| random.field()).collect();
        let block = encode(&mut encoder, &head);
        assert_eq!(decode(&mut decoder, &block), Ok(head.clone()), "{round}");
        // Names in another case are the same, and most fields are in the table now.
        for (name, _) in &mut head {
            name.make_ascii_uppercase();
        }
        let again = encode(&mut encoder, &head);
        for (name, _) in &mut head {
            name.make_ascii_lowercase();
        }
        assert_eq!(decode(&mut decoder, &again), Ok(head), "{round}");
        shorter += usize::from(again.len() < block.len());
    }
    assert!(shorter > 5000, "{shorter}");
}

/// Numbers of fields have 16 bits.
#[test]
fn more_fields_than_numbers() {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(4096));
    for round in 0..70_000 {
        let value = (round % 66_000).to_string();
        let head = fields(&[("x-a", &value), ("x-b", "the same")]);
        let block = encode(&mut encoder, &head);
        assert_eq!(decode(&mut decoder, &block), Ok(head), "{round}");
    }
}

#[test]
fn no_bytes_are_a_panic() {
    let mut random = Random(1);
    let (mut good, mut encoder) = (Vec::new(), Encoder::new(4096));
    for _ in 0..300 {
        let head = (0..random.below(6)).map(|_| random.field()).collect();
        let block = encode(&mut encoder, &head);
        if block.len() < 400 {
            good.push(block);
        }
    }
    let mut decoder = Decoder::new(4096);
    let mut outcomes = [0, 0];
    for _ in 0..200_000 {
        let mut block = if random.below(2) == 0 { random.pick(&good).clone() } else { Vec::new() };
        if block.is_empty() {
            block.extend((0..random.below(40)).map(|_| random.next() as u8));
        }
        for _ in 0..random.below(4) {
            let (at, byte) = (random.below(block.len() + 1), random.next() as u8);
            match random.below(4) {
                0 => block.truncate(at),
                1 => block.insert(at, byte),
                _ if at < block.len() => block[at] = byte,
                _ => block.push([0xff, 0x7f, 0x1f, 0x80][random.below(4)]),
            }
        }
        let outcome = decoder.decode(&block, |field| assert!(field.name.len() < 5000));
        outcomes[usize::from(outcome.is_ok())] += 1;
        let size: usize = decoder.fields().map(|(name, value)| entry_size(name.len(), value.len())).sum();
        assert!(size <= 4096);
        if outcome.is_err() && random.below(3) == 0 {
            decoder = Decoder::new(4096);
        }
    }
    assert!(outcomes[0] > 10_000 && outcomes[1] > 10_000, "{outcomes:?}");
}
