//! The `Plural-Forms` of gettext: which form of a text a number takes, as an expression of C.

use std::fmt;
use std::iter::Peekable;
use std::str::Bytes;

/// Which form a number takes.
#[derive(Debug)]
pub(super) enum PluralRule {
    /// One for 1, another for the rest; the rule of files without a rule.
    Germanic,
    Expression(Node),
}

impl PluralRule {
    /// Reads an expression of `n`.
    pub(super) fn parse(text: &str) -> Result<Self, PluralError> {
        if text.len() > MAX_LENGTH {
            return Err(PluralError("it is too long"));
        }
        let mut parser = Parser { bytes: text.bytes().peekable(), token: Token::End, depth: 0 };
        parser.advance()?;
        let node = parser.conditional()?;
        match parser.token {
            Token::End => Ok(Self::Expression(node)),
            _ => Err(PluralError("something follows its end")),
        }
    }

    /// The index of the form for a number; `None` when it cannot be computed (a division by zero) or is none.
    pub(super) fn index(&self, n: i64) -> Option<usize> {
        match self {
            Self::Germanic => Some(usize::from(n != 1)),
            Self::Expression(node) => usize::try_from(node.value(n)?).ok(),
        }
    }
}

/// As in Python's gettext; the longest in use has about 150 characters.
const MAX_LENGTH: usize = 1000;

/// Of conditions and parentheses in each other; the most complex in use has 6.
const MAX_DEPTH: usize = 50;

/// What is wrong with an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PluralError(&'static str);

impl fmt::Display for PluralError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[derive(Debug)]
pub(super) enum Node {
    N,
    Number(i64),
    Not(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Conditional(Box<[Node; 3]>),
}

impl Node {
    fn value(&self, n: i64) -> Option<i64> {
        match self {
            Self::N => Some(n),
            Self::Number(number) => Some(*number),
            Self::Not(node) => Some(i64::from(node.value(n)? == 0)),
            Self::Binary(operator, left, right) => operator.apply(left.value(n)?, || right.value(n)),
            Self::Conditional(nodes) => {
                let [condition, yes, no] = &**nodes;
                if condition.value(n)? != 0 { yes.value(n) } else { no.value(n) }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

impl Operator {
    fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal | Self::NotEqual => 3,
            Self::Less | Self::Greater | Self::LessOrEqual | Self::GreaterOrEqual => 4,
            Self::Plus | Self::Minus => 5,
            Self::Times | Self::Divide | Self::Modulo => 6,
        }
    }

    /// The right side is not looked at when the left decides.
    fn apply(self, left: i64, right: impl FnOnce() -> Option<i64>) -> Option<i64> {
        match (self, left != 0) {
            (Self::Or, true) => return Some(1),
            (Self::And, false) => return Some(0),
            _ => {}
        }
        let right = right()?;
        let truth = |value: bool| Some(i64::from(value));
        match self {
            Self::Or | Self::And => truth(right != 0),
            Self::Equal => truth(left == right),
            Self::NotEqual => truth(left != right),
            Self::Less => truth(left < right),
            Self::Greater => truth(left > right),
            Self::LessOrEqual => truth(left <= right),
            Self::GreaterOrEqual => truth(left >= right),
            Self::Plus => left.checked_add(right),
            Self::Minus => left.checked_sub(right),
            Self::Times => left.checked_mul(right),
            // Negative numbers as Python's gettext divides them.
            Self::Divide => left.checked_div_euclid(right),
            Self::Modulo => left.checked_rem_euclid(right),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    End,
    N,
    Number(i64),
    Not,
    Open,
    Close,
    Question,
    Colon,
    Operator(Operator),
}

struct Parser<'a> {
    bytes: Peekable<Bytes<'a>>,
    token: Token,
    depth: usize,
}

impl Parser<'_> {
    fn conditional(&mut self) -> Result<Node, PluralError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PluralError("it is too deep"));
        }
        let condition = self.binary(1)?;
        let node = if self.token == Token::Question {
            self.advance()?;
            let yes = self.conditional()?;
            self.expect(Token::Colon)?;
            Node::Conditional(Box::new([condition, yes, self.conditional()?]))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    /// Operators of this precedence and higher.
    fn binary(&mut self, lowest: u8) -> Result<Node, PluralError> {
        let mut left = self.unary()?;
        while let Token::Operator(operator) = self.token
            && operator.precedence() >= lowest
        {
            self.advance()?;
            let right = self.binary(operator.precedence() + 1)?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, PluralError> {
        let mut nots = 0;
        while self.token == Token::Not {
            nots += 1;
            self.advance()?;
        }
        let mut node = self.operand()?;
        // `!!!x` is `!x`, `!!x` is 0 or 1.
        for _ in 0..(if nots > 2 { 2 - nots % 2 } else { nots }) {
            node = Node::Not(Box::new(node));
        }
        Ok(node)
    }

    fn operand(&mut self) -> Result<Node, PluralError> {
        let node = match self.token {
            Token::N => Node::N,
            Token::Number(number) => Node::Number(number),
            Token::Open => {
                self.advance()?;
                let node = self.conditional()?;
                self.expect(Token::Close)?;
                return Ok(node);
            }
            _ => return Err(PluralError("a number or n is missing")),
        };
        self.advance()?;
        Ok(node)
    }

    fn expect(&mut self, token: Token) -> Result<(), PluralError> {
        if self.token != token {
            return Err(PluralError("a parenthesis or colon is missing"));
        }
        self.advance()
    }

    fn advance(&mut self) -> Result<(), PluralError> {
        self.token = loop {
            let Some(byte) = self.bytes.next() else { break Token::End };
            break match byte {
                b' ' | b'\t' => continue,
                b'n' => Token::N,
                b'0'..=b'9' => Token::Number(self.number(byte)?),
                b'(' => Token::Open,
                b')' => Token::Close,
                b'?' => Token::Question,
                b':' => Token::Colon,
                b'+' => Token::Operator(Operator::Plus),
                b'-' => Token::Operator(Operator::Minus),
                b'*' => Token::Operator(Operator::Times),
                b'/' => Token::Operator(Operator::Divide),
                b'%' => Token::Operator(Operator::Modulo),
                b'<' if self.follows(b'=') => Token::Operator(Operator::LessOrEqual),
                b'<' => Token::Operator(Operator::Less),
                b'>' if self.follows(b'=') => Token::Operator(Operator::GreaterOrEqual),
                b'>' => Token::Operator(Operator::Greater),
                b'!' if self.follows(b'=') => Token::Operator(Operator::NotEqual),
                b'!' => Token::Not,
                b'=' if self.follows(b'=') => Token::Operator(Operator::Equal),
                b'&' if self.follows(b'&') => Token::Operator(Operator::And),
                b'|' if self.follows(b'|') => Token::Operator(Operator::Or),
                _ => return Err(PluralError("there is a character that has no meaning")),
            };
        };
        Ok(())
    }

    fn follows(&mut self, byte: u8) -> bool {
        self.bytes.next_if_eq(&byte).is_some()
    }

    fn number(&mut self, first: u8) -> Result<i64, PluralError> {
        let mut number = i64::from(first - b'0');
        while let Some(digit) = self.bytes.next_if(u8::is_ascii_digit) {
            let next = number.checked_mul(10).and_then(|n| n.checked_add(i64::from(digit - b'0')));
            number = next.ok_or(PluralError("a number is too large"))?;
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(expression: &str, numbers: &[i64]) -> Vec<Option<usize>> {
        let rule = PluralRule::parse(expression).unwrap();
        numbers.iter().map(|n| rule.index(*n)).collect()
    }

    #[test]
    fn rules_in_use() {
        let some = |forms: &[usize]| forms.iter().map(|f| Some(*f)).collect::<Vec<_>>();
        assert_eq!(forms("(n > 1)", &[0, 1, 2]), some(&[0, 0, 1]));
        let polish = "(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2)";
        assert_eq!(forms(polish, &[1, 2, 5, 12, 22, 25, 100]), some(&[0, 1, 2, 2, 1, 2, 2]));
        let arabic = "n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5";
        assert_eq!(forms(arabic, &[0, 1, 2, 3, 11, 100, 103]), some(&[0, 1, 2, 3, 4, 5, 3]));
        assert_eq!(forms("0", &[0, 1, 7]), some(&[0, 0, 0]));
        assert_eq!(forms("!(n/2*2==n)", &[0, 1, 2, 3]), some(&[0, 1, 0, 1]));
        assert_eq!(forms("!!!n", &[0, 5]), some(&[1, 0]));
        assert_eq!(forms("!!n", &[0, 5]), some(&[0, 1]));
        assert_eq!(forms("n != 1", &[-1, 1]), some(&[1, 0]));
        assert_eq!(forms("7-n-1", &[0, 2, 7]), [Some(6), Some(4), None]);
        assert_eq!(forms("n%10", &[-1, 13]), some(&[9, 3]));
    }

    #[test]
    fn what_cannot_be_computed_is_no_form() {
        assert_eq!(forms("1/n", &[0, 1]), [None, Some(1)]);
        assert_eq!(forms("n && 1%n", &[0, 1]), [Some(0), Some(0)]);
        assert_eq!(forms("n*9223372036854775807*2+1", &[1]), [None]);
        assert_eq!(forms("n/(0-1)", &[i64::MIN]), [None]);
    }

    #[test]
    fn broken_rules_are_refused() {
        for broken in [
            "",
            "n n",
            "n=1",
            "n &",
            "(n",
            "n)",
            "n ? 1",
            "n ? 1 :",
            "x",
            "n ^ 1",
            "99999999999999999999",
            "-n",
        ] {
            assert!(PluralRule::parse(broken).is_err(), "{broken}");
        }
        for deep in ["(".repeat(900), "n?".repeat(450), "!".repeat(999), "n".repeat(1001)] {
            assert!(PluralRule::parse(&deep).is_err());
        }
        assert_eq!(forms(&format!("n{}", "+1".repeat(400)), &[0]), [Some(400)]);
    }
}
