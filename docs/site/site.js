// The theme puts wide tables into boxes that scroll, which the keyboard must reach, and its search is a dialog without a name.
new MutationObserver(() => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) box.tabIndex = 0;
  document.querySelector(".md-search:not([aria-label])")?.setAttribute("aria-label", "Search");
}).observe(document, { childList: true, subtree: true });
