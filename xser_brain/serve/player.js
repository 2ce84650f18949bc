// The time line goes with the player: a line moves over it, and a click plays from there.
"use strict";

(() => {
  // Gradio's player lies in no document. It is met when it plays.
  let player = null;
  let wanted = null;
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    player = this;
    if (wanted !== null) {
      player.currentTime = wanted;
      wanted = null;
    }
    requestAnimationFrame(follow);
    return play.call(this);
  };

  function follow() {
    show();
    if (player && !player.paused) requestAnimationFrame(follow);
  }

  function show() {
    const track = document.querySelector("#timeline .track");
    if (!track || !player) return;
    const head = track.querySelector(".playhead");
    head.style.left = `${100 * Math.min(1, player.currentTime / track.dataset.end)}%`;
    head.hidden = false;
    for (const part of document.querySelectorAll("#timeline [data-start]")) {
      const { start, end } = part.dataset;
      const now = player.currentTime >= Number(start) && player.currentTime < Number(end);
      part.classList.toggle("now", now);
    }
  }

  function playFrom(seconds) {
    const button = document.querySelector("#recording .play-pause-button");
    if (player && !player.paused) {
      player.currentTime = seconds;
    } else if (button) {
      wanted = seconds;
      button.click();
    }
  }

  document.addEventListener("click", (event) => {
    const part = event.target.closest("#timeline [data-start]");
    const track = event.target.closest("#timeline .track");
    if (part) playFrom(Number(part.dataset.start));
    else if (track) {
      const box = track.getBoundingClientRect();
      playFrom(((event.clientX - box.left) / box.width) * track.dataset.end);
    }
  });
})();
