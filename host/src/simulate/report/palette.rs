//! Colours of lines, each with a twin for dark pages.
//!
//! Plots are drawn in the light colours; rules of the style name each by its value and replace it by a variable that
//! depends on what the reader's system prefers.

use plotters::style::RGBColor;

use crate::simulate::policy::PolicyName;

/// A colour for light pages and its twin for dark ones.
struct Shade {
    light: (u8, u8, u8),
    dark: (u8, u8, u8),
}

const fn shade(light: (u8, u8, u8), dark: (u8, u8, u8)) -> Shade {
    Shade { light, dark }
}

/// Kinds that have no order. Neighbours also differ for the colour-blind.
const KINDS: [Shade; 8] = [
    shade((0x2a, 0x78, 0xd6), (0x39, 0x87, 0xe5)),
    shade((0xeb, 0x68, 0x34), (0xd9, 0x59, 0x26)),
    shade((0x1b, 0xaf, 0x7a), (0x19, 0x9e, 0x70)),
    shade((0xed, 0xa1, 0x00), (0xc9, 0x85, 0x00)),
    shade((0xe8, 0x7b, 0xa4), (0xd5, 0x51, 0x81)),
    shade((0x00, 0x83, 0x00), (0x2f, 0xa0, 0x2f)),
    shade((0x4a, 0x3a, 0xa7), (0x90, 0x85, 0xe9)),
    shade((0xe3, 0x49, 0x48), (0xe6, 0x67, 0x67)),
];

/// Steps that have an order, from pale to strong: far from the page's own colour comes last.
const STEPS: [Shade; 6] = [
    shade((0x86, 0xb6, 0xef), (0x18, 0x4f, 0x95)),
    shade((0x5b, 0x9c, 0xe8), (0x25, 0x6a, 0xbe)),
    shade((0x39, 0x86, 0xe4), (0x3a, 0x85, 0xe3)),
    shade((0x25, 0x6b, 0xbf), (0x6d, 0xa7, 0xec)),
    shade((0x18, 0x50, 0x96), (0x9e, 0xc5, 0xf4)),
    shade((0x0d, 0x36, 0x6b), (0xcd, 0xe2, 0xfb)),
];

/// Words, axes and the lines of the grid.
const INK: Shade = shade((0x52, 0x51, 0x4e), (0xc3, 0xc2, 0xb7));
const AXIS: Shade = shade((0xc3, 0xc2, 0xb8), (0x55, 0x55, 0x50));
const GRID: Shade = shade((0xe1, 0xe0, 0xd9), (0x2f, 0x2f, 0x2c));

/// A colour, and the class of the style that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Colour {
    pub(super) light: RGBColor,
    pub(super) class: String,
}

fn kind(number: usize) -> Colour {
    let number = number % KINDS.len();
    Colour { light: rgb(&KINDS[number]), class: format!("kind{number}") }
}

/// The colour of a policy: the same whoever else takes part. `number` is for one that has no name of its own.
pub(super) fn of_policy(name: &str, number: usize) -> Colour {
    kind(PolicyName::ALL.iter().position(|policy| policy.name() == name).unwrap_or(number))
}

/// The colour of a group of classes of pools.
pub(super) fn of_group(number: usize) -> Colour {
    kind(number)
}

/// The colour of a line that is alone, where others stand for something else.
pub(super) fn neutral() -> Colour {
    Colour { light: ink(), class: "ink".to_owned() }
}

/// The colour of step `number` of `all`.
pub(super) fn of_step(number: usize, all: usize) -> Colour {
    let last = STEPS.len() - 1;
    let step = if all < 2 { last } else { (number * last / (all - 1)).min(last) };
    Colour { light: rgb(&STEPS[step]), class: format!("step{step}") }
}

/// How many steps are told apart.
pub(super) const STEPS_MAX: usize = STEPS.len();

pub(super) const fn ink() -> RGBColor {
    rgb(&INK)
}

pub(super) const fn axis() -> RGBColor {
    rgb(&AXIS)
}

pub(super) const fn grid() -> RGBColor {
    rgb(&GRID)
}

const fn rgb(shade: &Shade) -> RGBColor {
    let (red, green, blue) = shade.light;
    RGBColor(red, green, blue)
}

/// The part of the style that has the colours.
pub(super) fn css() -> String {
    let kinds = KINDS.iter().enumerate().map(|(number, shade)| (format!("kind{number}"), shade));
    let steps = STEPS.iter().enumerate().map(|(number, shade)| (format!("step{number}"), shade));
    let own = [("ink", &INK), ("axis", &AXIS), ("grid", &GRID)].map(|(name, shade)| (name.to_owned(), shade));
    let named: Vec<_> = kinds.chain(steps).chain(own).collect();
    let variables = |of: fn(&Shade) -> (u8, u8, u8)| -> String {
        named.iter().map(|(name, shade)| format!("--{name}:{};", hex(of(shade)))).collect()
    };
    let (light, dark) = (variables(|shade| shade.light), variables(|shade| shade.dark));
    let rule = |(name, shade): &(String, &Shade)| {
        let drawn = hex(shade.light);
        format!(
            "[stroke=\"{drawn}\"]{{stroke:var(--{name})}} [fill=\"{drawn}\"]{{fill:var(--{name})}} \
             .{name}{{background:var(--{name})}}\n"
        )
    };
    let rules: String = named.iter().map(rule).collect();
    format!(":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}")
}

/// As plots spell it.
fn hex((red, green, blue): (u8, u8, u8)) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_drawn_colour_has_one_rule() {
        let drawn: BTreeSet<_> =
            KINDS.iter().chain(&STEPS).chain([&INK, &AXIS, &GRID]).map(|shade| shade.light).collect();
        assert_eq!(drawn.len(), KINDS.len() + STEPS.len() + 3);
    }

    #[test]
    fn colours_follow_the_policy() {
        assert_eq!(of_policy("dynamo", 0), of_policy("dynamo", 5));
        assert_eq!(of_policy("nobody", 2), of_policy("nobody", 2 + KINDS.len()));
        let classes = |all| (0..all).map(|number| of_step(number, all).class).collect::<Vec<_>>();
        assert_eq!(classes(1), ["step5"]);
        assert_eq!(classes(3), ["step0", "step2", "step5"]);
    }
}
