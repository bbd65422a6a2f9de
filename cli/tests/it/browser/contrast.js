// Returns the texts of a page that have less contrast than WCAG 2.2 AA asks for: 4.5 to 1, large ones 3.
// Colours are those that the browser computed, laid over each other with their opacities, from the page's
// ground up to the text. What is folded is unfolded for it.

const LARGE_PX = 24, LARGE_BOLD_PX = 18.66, BOLD = 700;
const canvas = [255, 255, 255, 1];

/// Of `rgb(1 2 3 / 4%)` in any of its spellings, and of `color(srgb 0.1 0.2 0.3)`: three parts of 255, and opacity.
const parse = (colour) => {
  const parts = (colour.match(/[\d.]+(e-?\d+)?/g) || []).map(Number);
  if (colour.startsWith("rgb")) return [...parts.slice(0, 3), parts[3] ?? 1];
  if (colour.startsWith("color(srgb ")) return [...parts.slice(0, 3).map((it) => it * 255), parts[3] ?? 1];
  throw new Error(`no colour that is known here: ${colour}`);
};
const over = (colour, ground, opacity = 1) => {
  const share = colour[3] * opacity;
  return [...[0, 1, 2].map((at) => colour[at] * share + ground[at] * (1 - share)), 1];
};
const luminance = (colour) => {
  const [red, green, blue] = colour.map((it) => it / 255)
    .map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

const known = new Map();
/// The ground that an element lays below what it holds, and how opaque all of it is.
const looks = (it) => {
  if (!known.has(it)) {
    const style = getComputedStyle(it);
    // In a graph the box of a node lies below its text, and not around it.
    const box = it.matches("svg a, svg .node") && it.querySelector(".box");
    const ground = box ? getComputedStyle(box).fill : style.backgroundColor;
    known.set(it, { ground: parse(ground), opacity: Number(style.opacity) });
  }
  return known.get(it);
};
/// What one sees at a text, and what beside it.
const seen = (text, colour) => {
  const chain = [];
  for (let it = text; it; it = it.parentElement) chain.unshift(looks(it));
  const paint = (at, below, last) => {
    if (at === chain.length) return over(last, below);
    const { ground, opacity } = chain[at];
    return over(paint(at + 1, over(ground, below), last), below, opacity);
  };
  return [paint(0, canvas, colour), paint(0, canvas, [0, 0, 0, 0])];
};

const isVisible = (it) => it.checkVisibility({ visibilityProperty: true }) && !it.closest(".sr, option, :disabled, title")
  && [...it.getClientRects()].some((at) => at.width > 1 && at.height > 1);

const low = [];
const check = (it, style, words) => {
  const colour = parse(it.matches("svg text, svg tspan") ? style.fill : style.color);
  const [text, ground] = seen(it, colour).map(luminance);
  const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= LARGE_PX || (size >= LARGE_BOLD_PX && Number(style.fontWeight) >= BOLD);
  const least = isLarge ? 3 : 4.5;
  if (contrast < least) {
    const place = it.parentElement.cloneNode(false).outerHTML.slice(0, 120);
    low.push(`${contrast.toFixed(2)} < ${least}: "${words.trim().slice(0, 40)}" of <${it.localName} class="${it.getAttribute("class") || ""}"> in ${place}`);
  }
};

const folded = [...document.querySelectorAll("details:not([open])")].slice(0, 20);
for (const it of folded) it.open = true;
const texts = new Map();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  if (node.data.trim() && !texts.has(node.parentElement)) texts.set(node.parentElement, node.data);
}
let count = 0;
for (const [it, words] of texts) if (isVisible(it)) { count += 1; check(it, getComputedStyle(it), words); }
for (const it of document.querySelectorAll("input:not([type=checkbox]), select, textarea")) {
  if (!isVisible(it)) continue;
  check(it, getComputedStyle(it), it.value || it.name);
  if (it.placeholder && !it.value) check(it, getComputedStyle(it, "::placeholder"), it.placeholder);
}
for (const it of folded) it.open = false;
return { low, count };
