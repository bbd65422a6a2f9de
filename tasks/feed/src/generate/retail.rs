//! Sales of an online shop, in the shape of the UCI data set "Online Retail".
//!
//! The same columns and the same quirks: dates without padding, quoted descriptions with commas and
//! doubled quotes, a quarter of the rows without a customer, cancelled invoices, negative quantities.

use std::io::{self, Write};

use super::random::Random;

/// The columns.
const HEADER: &[u8] =
    b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

/// Rows of the original; the default number.
pub const RETAIL_ROWS: u64 = 541_909;

const CUSTOMERS: u64 = 4_372;
const PRODUCTS: u64 = 4_070;
const FIRST_INVOICE: u64 = 536_365;

/// Days from 2010-12-01 to 2011-12-09, and minutes of a day's business from 8:00.
const DAYS: u64 = 374;
const MINUTES: u64 = 600;

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

/// Writes a CSV file of `rows` rows; the same `rows` and `seed` give the same bytes.
pub fn retail(rows: u64, seed: u64, mut writer: impl Write) -> io::Result<()> {
    let mut random = Random::new(seed);
    let products: Vec<Product> = (0..PRODUCTS).map(|_| Product::new(&mut random)).collect();
    let customers: Vec<&str> = (0..CUSTOMERS).map(|_| country(&mut random)).collect();
    let mut line = Vec::with_capacity(BUFFER + 256);
    line.extend_from_slice(HEADER);
    let mut invoice = Invoice::default();
    for row in 0..rows {
        if invoice.lines == 0 {
            invoice.start(row, rows, &customers, &mut random);
        }
        invoice.lines -= 1;
        invoice.line(&products, &mut random, &mut line);
        if line.len() >= BUFFER {
            writer.write_all(&line)?;
            line.clear();
        }
    }
    writer.write_all(&line)?;
    writer.flush()
}

/// What is sold: the text of its columns.
struct Product {
    /// `85123A,WHITE HANGING HEART T-LIGHT HOLDER,`
    code_and_description: Vec<u8>,
    /// `85123A,,`: stock that was written off has no description.
    code_alone: Vec<u8>,
    /// `,2.55,`
    price: Vec<u8>,
}

impl Product {
    fn new(random: &mut Random) -> Self {
        const COLOURS: [&str; 12] = [
            "WHITE",
            "RED",
            "PINK",
            "BLUE",
            "IVORY",
            "CREAM",
            "GREEN",
            "BLACK",
            "SILVER",
            "VINTAGE",
            "RETROSPOT",
            "WOODEN",
        ];
        const KINDS: [&str; 12] = [
            "HANGING HEART",
            "METAL",
            "CUPID HEARTS",
            "UNION FLAG",
            "JUMBO",
            "SET OF 6",
            "LUNCH",
            "PAISLEY",
            "SPACEBOY",
            "REGENCY",
            "GLASS STAR",
            "PACK OF 72",
        ];
        const THINGS: [&str; 12] = [
            "T-LIGHT HOLDER",
            "LANTERN",
            "COAT HANGER",
            "HOT WATER BOTTLE",
            "BAG",
            "CAKE CASES",
            "NESTING BOXES",
            "MUG",
            "DOORMAT",
            "PICNIC BASKET",
            "CARD HOLDER",
            "BUNTING",
        ];
        let mut code = Vec::new();
        number(10_002 + random.below(80_000), &mut code);
        if random.chance(35) {
            code.push(b'A' + random.below(7) as u8);
        }
        code.push(b',');
        let (colour, kind, thing) =
            (random.pick(&COLOURS), random.pick(&KINDS), random.pick(&THINGS));
        // The original quotes about one description in ninety.
        let description = match random.below(180) {
            0 => format!("\"{thing}, {kind}, {colour}\""),
            1 => format!("\"{colour} {thing} 7\"\" {kind} \""),
            _ => format!("{colour} {kind} {thing}"),
        };
        let pence =
            [85, 125, 165, 210, 255, 295, 339, 425, 795, 1275, 1800][random.below(11) as usize];
        let mut price = Vec::new();
        price.push(b',');
        number(pence / 100, &mut price);
        match (pence / 10 % 10, pence % 10) {
            (0, 0) => {}
            (tenth, 0) => price.extend([b'.', b'0' + tenth as u8]),
            (tenth, hundredth) => price.extend([b'.', b'0' + tenth as u8, b'0' + hundredth as u8]),
        }
        price.push(b',');
        Self {
            code_and_description: [&code, description.as_bytes(), b","].concat(),
            code_alone: [&code[..], b","].concat(),
            price,
        }
    }
}

/// The invoice being written.
#[derive(Default)]
struct Invoice {
    count: u64,
    lines: u64,
    cancelled: bool,
    /// `536365,`
    number: Vec<u8>,
    /// `,12/1/2010 8:26`
    date: Vec<u8>,
    /// `17850,United Kingdom`
    customer: Vec<u8>,
}

impl Invoice {
    fn start(&mut self, row: u64, rows: u64, customers: &[&str], random: &mut Random) {
        self.cancelled = random.chance(15);
        self.lines = if self.cancelled {
            1 + random.below(4)
        } else {
            1 + random.below(27) + random.below(27)
        };
        self.number.clear();
        if self.cancelled {
            self.number.push(b'C');
        }
        number(FIRST_INVOICE + self.count, &mut self.number);
        self.number.push(b',');
        self.count += 1;
        let minute = (u128::from(row) * u128::from(DAYS * MINUTES) / u128::from(rows)) as u64;
        self.date.clear();
        date(minute / MINUTES, 8 * 60 + minute % MINUTES, &mut self.date);
        self.customer.clear();
        if random.chance(25) {
            self.customer.extend_from_slice(b",United Kingdom\n");
            return;
        }
        // Some buy often, most seldom.
        let place = random.below(CUSTOMERS) * random.below(CUSTOMERS) / CUSTOMERS;
        number(12_346 + place * 1_359 / 1_000, &mut self.customer);
        self.customer.push(b',');
        self.customer.extend_from_slice(customers[place as usize].as_bytes());
        self.customer.push(b'\n');
    }

    fn line(&self, products: &[Product], random: &mut Random, out: &mut Vec<u8>) {
        let product = &products[random.below(PRODUCTS) as usize];
        // Written off: no customer, no description, fewer in stock.
        let written_off = self.customer.starts_with(b",") && random.chance(1);
        out.extend_from_slice(&self.number);
        out.extend_from_slice(if written_off {
            &product.code_alone
        } else {
            &product.code_and_description
        });
        if self.cancelled || written_off {
            out.push(b'-');
        }
        number(1 + random.below(24), out);
        out.extend_from_slice(&self.date);
        out.extend_from_slice(if written_off { b",0," } else { &product.price });
        out.extend_from_slice(&self.customer);
    }
}

fn country(random: &mut Random) -> &'static str {
    const OTHERS: [&str; 8] =
        ["Germany", "France", "EIRE", "Spain", "Netherlands", "Belgium", "Switzerland", "Portugal"];
    if random.chance(90) { "United Kingdom" } else { random.pick(&OTHERS) }
}

/// Writes `,12/1/2010 8:26`: days since 2010-12-01, minutes since midnight.
fn date(day: u64, minute: u64, out: &mut Vec<u8>) {
    const LENGTHS: [u64; 13] = [31, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut rest = day;
    let mut month = 0;
    while rest >= LENGTHS[month] {
        rest -= LENGTHS[month];
        month += 1;
    }
    out.push(b',');
    number((month as u64 + 11) % 12 + 1, out);
    out.push(b'/');
    number(rest + 1, out);
    out.extend_from_slice(if month == 0 { b"/2010 " } else { b"/2011 " });
    number(minute / 60, out);
    out.push(b':');
    out.push(b'0' + (minute % 60 / 10) as u8);
    out.push(b'0' + (minute % 10) as u8);
}

fn number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
