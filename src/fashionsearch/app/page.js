// Runs once for each part of the page. Gradio gives element, trigger, upload and watch; it changes only what differs in the
// part's HTML, so that what has the focus keeps it.
const byId = (id) => document.getElementById(id);
const say = (words) => {
  const status = byId("status");
  status.textContent = words;
  status.classList.remove("problem");
};
const found = () => byId("status").closest("section");
let patience;
const act = (data, words) => {
  if (found().getAttribute("aria-busy")) return;
  found().setAttribute("aria-busy", "true");
  say(words);
  trigger("click", data);
  clearTimeout(patience);
  patience = setTimeout(() => {
    if (!found().getAttribute("aria-busy")) return;
    found().removeAttribute("aria-busy");
    say("There was no answer for a minute; is the program still running? Then press the button again.");
  }, 60000);
};
const waiting = { why: "Comparing the two photos…", add: "Adding the item…", "remove-surely": "Removing the item…" };
const fields = (form) => [...new FormData(form)];
const search = () => act({ do: "search", form: fields(byId("wishes")) }, "Searching…");

const take = async (file) => {
  const most = Number(element.querySelector("[data-most]").dataset.most);
  if (file.size > most) {
    say(`This photo has over ${Math.floor(most / 1e6)} MB; give a smaller copy.`);
    return;
  }
  say("Reading the photo…");
  try {
    const { path } = await upload(file);
    act({ do: "photo", path }, "Looking at the photo…");
  } catch (error) {
    say("The photo could not be sent; is the program still running, and the file a photo of at most 25 MB?");
  }
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button) return;
  const { do: name, place, turn } = button.dataset;
  act({ do: name, place: Number(place), turn: Number(turn) }, waiting[name] ?? "Searching…");
});
element.addEventListener("submit", (event) => {
  if (event.target.method === "dialog") return;
  event.preventDefault();
  if (event.target.dataset.form === "add") act({ do: "add", form: fields(event.target) }, waiting.add);
  else search();
});
element.addEventListener("input", (event) => {
  if (event.target.type === "range") event.target.parentElement.querySelector("output").textContent = event.target.value;
});
element.addEventListener("change", (event) => {
  if (event.target.type === "file") {
    if (event.target.files.length) take(event.target.files[0]);
    event.target.value = "";
  } else if (event.target.form?.dataset.form === "search" && event.target.id !== "text") search();
});

// What a visitor has opened stays open when the part changes.
const open = new Set(window.innerWidth < 768 ? [] : ["options"]);
element.addEventListener("click", (event) => {
  const folded = event.target.closest("summary")?.parentElement;
  if (folded) folded.open ? open.delete(folded.dataset.name) : open.add(folded.dataset.name);
});
let resets = "0";
watch("value", () => {
  for (const folded of element.querySelectorAll("details")) folded.open = open.has(folded.dataset.name);
  for (const form of element.querySelectorAll("form[data-resets]")) {
    if (form.dataset.resets !== resets) form.reset();
  }
  resets = element.querySelector("form[data-resets]")?.dataset.resets ?? resets;
  found().removeAttribute("aria-busy");
  element.querySelector("dialog")?.showModal();
});

if (element.querySelector("[data-most]")) {
  const dropped = (event) => [...(event.dataTransfer ?? event.clipboardData).files].find((file) => file.type.startsWith("image/"));
  document.addEventListener("dragover", (event) => event.preventDefault());
  for (const name of ["drop", "paste"]) {
    document.addEventListener(name, (event) => {
      const file = dropped(event);
      if (name === "drop") event.preventDefault();
      if (file) take(file);
    });
  }
}
if (element.querySelector("#status")) act({ do: "start" }, "Opening the catalogue…");
