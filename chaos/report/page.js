"use strict";
(function () {
  var commands = document.querySelectorAll(".command");
  commands.forEach(function (c) {
    var button = c.querySelector("button");
    if (!navigator.clipboard) { return; }
    button.hidden = false;
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(c.querySelector("code").textContent).then(function () { button.textContent = "copied"; });
    });
  });
  // Porcupine's page lays itself out when it is loaded: only when it is visible.
  var history = document.getElementById("history");
  if (history) {
    history.addEventListener("toggle", function () {
      var frame = history.querySelector("iframe");
      if (history.open && !frame.src) { frame.src = frame.dataset.src; }
    });
  }

  var svg = document.getElementById("drawing");
  if (!svg) { return; }
  var data = JSON.parse(document.getElementById("data").textContent);
  var cursor = document.getElementById("cursor"), readout = document.getElementById("readout");

  function time(ns) {
    var s = ns / 1e9;
    if (s >= 60) { return Math.floor(s / 60) + "m" + (s % 60).toFixed(1) + "s"; }
    return s >= 1 ? s.toFixed(2) + "s" : (ns / 1e6).toFixed(1) + "ms";
  }
  // The last sample not after t.
  function at(times, t) {
    var low = 0, high = times.length;
    while (low < high) {
      var mid = (low + high) >> 1;
      if (times[mid] <= t) { low = mid + 1; } else { high = mid; }
    }
    return low - 1;
  }
  function add(parent, tag, text, name) {
    var e = document.createElement(tag);
    if (text !== undefined) { e.textContent = text; }
    if (name) { e.className = name; }
    parent.appendChild(e);
    return e;
  }
  function show(t) {
    readout.textContent = "";
    add(readout, "b", time(t));
    var wide = data.total / 400;
    var faults = data.faults.filter(function (f) { return f.b <= t + wide / 2 && Math.max(f.e, f.b) >= t - wide / 2; });
    faults.slice(0, 8).forEach(function (f) { add(readout, "div", f.text); });
    if (faults.length > 8) { add(readout, "div", "and " + (faults.length - 8) + " more faults"); }
    if (data.replicas.length) {
      var table = add(readout, "table"), body = add(table, "tbody");
      data.replicas.forEach(function (r) {
        var i = at(r.t, t);
        if (i < 0) { return; }
        var row = add(body, "tr"), name = add(row, "td");
        add(name, "i", undefined, "dot " + r.class);
        name.appendChild(document.createTextNode(r.name));
        add(row, "td", r.s[i]);
        add(row, "td", "view " + r.v[i], "n");
        add(row, "td", "height " + r.h[i], "n");
      });
    }
    data.buckets.some(function (b) {
      if (t < b.b || t >= b.e) { return false; }
      add(readout, "div", b.ops + " answered a second, median " + b.p50 + ", 99 of 100 within " + b.p99);
      return true;
    });
  }
  svg.addEventListener("pointermove", function (e) {
    var frame = svg.getBoundingClientRect();
    var x = (e.clientX - frame.left) / frame.width * svg.viewBox.baseVal.width;
    if (x < data.left || x > data.right) { hide(); return; }
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    show((x - data.left) / (data.right - data.left) * data.total);
    readout.hidden = false;
    var before = e.clientX + 24 + readout.offsetWidth > window.innerWidth;
    readout.style.left = (before ? e.clientX - 24 - readout.offsetWidth : e.clientX + 24) + "px";
    readout.style.top = Math.max(8, Math.min(e.clientY + 12, window.innerHeight - readout.offsetHeight - 8)) + "px";
  });
  function hide() {
    cursor.setAttribute("visibility", "hidden");
    readout.hidden = true;
  }
  svg.addEventListener("pointerleave", hide);
})();
