// Colours of outcomes, close to the palette of Okabe and Ito and further apart for people without red or green cones. The most
// frequent reasons have one each, the others share a gray; the reason stands beside its colour everywhere.

const KEPT = "#009e73";
const REASONS = ["#e19600", "#4bb4f0", "#c378a5", "#0069d2", "#c34b00", "#fff04b", "var(--ink)"];
const OTHERS = "#5a6969";

let order = [];

export function learn(reasons) { order = reasons.map((reason) => reason.name); }

export function colour(reason) { return reason === null ? KEPT : REASONS[order.indexOf(reason)] ?? OTHERS; }
