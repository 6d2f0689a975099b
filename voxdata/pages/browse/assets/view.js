// The view that the page shows, and its text in the address: the same as of `voxdata browse --view` (voxdata/pages/browse/view.py).

const WORDS = ["show", "reason", "person", "sort", "face"];

export function parse(text) {
  const given = new URLSearchParams(text.replace(/^#/, ""));
  const ranges = {};
  for (const [name, word] of given) if (!WORDS.includes(name)) {
    const [low, high] = word.split("..");
    ranges[name] = [low ? Number(low) : null, high ? Number(high) : null];
  }
  const sort = given.get("sort") ?? "person";
  return {
    show: given.get("show") ?? "all", reasons: (given.get("reason") ?? "").split(",").filter(Boolean), person: given.get("person") ?? "",
    ranges, sort: sort.replace(/^-/, ""), descending: sort.startsWith("-"), face: given.get("face") ?? "",
  };
}

export function range([low, high]) { return `${low ?? ""}..${high ?? ""}`; }

export function text(view, withFace = true) {
  const sort = `${view.descending ? "-" : ""}${view.sort}`;
  const words = [
    ["show", view.show === "all" ? "" : view.show], ["reason", view.reasons.join(",")], ["person", view.person],
    ...Object.entries(view.ranges).map(([name, ends]) => [name, range(ends)]),
    ["sort", sort === "person" ? "" : sort], ["face", withFace ? view.face : ""],
  ];
  const written = (word) => encodeURIComponent(word).replaceAll("%2C", ",").replaceAll("%2F", "/");
  return words.filter(([, word]) => word).map(([name, word]) => `${written(name)}=${written(word)}`).join("&");
}
