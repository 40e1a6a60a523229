"use strict";
(() => {
  const by = (id) => document.getElementById(id);

  // Maps: the slider chooses the frame, the list the variable.
  const films = JSON.parse(by("films").textContent);
  const film = by("film"), step = by("step"), play = by("play"), frame = by("frame");
  const bars = document.querySelectorAll(".bar");
  const show = () => {
    const chosen = films[film.value], at = Number(step.value);
    frame.setAttribute("href", "data:image/png;base64," + chosen.images[at]);
    by("label").textContent = chosen.labels[at];
    by("map-told").textContent = `${chosen.title}, ${chosen.labels[at]}: ${chosen.told[at]}.`;
    step.setAttribute("aria-valuetext", chosen.labels[at]);
    bars.forEach((bar, number) => { bar.toggleAttribute("hidden", number !== Number(film.value)); });
  };
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.setAttribute("aria-pressed", "false");
    play.textContent = "Play";
  };
  const forward = () => {
    step.value = (Number(step.value) + 1) % films[film.value].labels.length;
    show();
  };
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    play.setAttribute("aria-pressed", "true");
    play.textContent = "Pause";
    timer = setInterval(forward, 500);
  });
  step.addEventListener("input", () => { stop(); show(); });
  film.addEventListener("change", show);
  by("player").querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  show();

  // A day's facts, from the list that can be downloaded.
  const rows = atob(by("list").href.split(",")[1]).trim().split("\n").slice(1);
  const days = new Map(rows.map((row) => [row.slice(0, 10), row.split(",")]));
  const day = by("day"), told = by("day-told");
  const percent = (share) => (100 * Number(share)).toFixed(1) + " %";
  const tell = () => {
    const found = days.get(day.value);
    told.textContent = found
      ? `${found[1]}; observed ${percent(found[2])}, filled ${percent(found[3])}, ` +
        `reanalysis ${percent(found[4])}, without a value ${percent(found[5])}`
      : "not in the period";
  };
  by("look-up").removeAttribute("hidden");
  by("look-up").addEventListener("submit", (event) => event.preventDefault());
  day.addEventListener("input", tell);
  tell();
})();
