// Colours of outcomes: the palette of Okabe and Ito, which people with any kind of colour vision tell apart. The most frequent
// reasons have one each, the others share a gray; the reason stands beside its colour everywhere.

const KEPT = "#009e73";
const REASONS = ["#e69f00", "#56b4e9", "#cc79a7", "#0072b2", "#d55e00", "#f0e442", "var(--ink)"];
const OTHERS = "#606468";

let order = [];

export function learn(reasons) { order = reasons.map((reason) => reason.name); }

export function colour(reason) { return reason === null ? KEPT : REASONS[order.indexOf(reason)] ?? OTHERS; }
