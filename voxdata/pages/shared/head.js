// The skip link moves the focus and leaves the address alone: pages keep there what they show.

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  const main = document.querySelector("#main");
  main.focus();
  main.scrollIntoView({ block: "start" });
});
