// What the exhibits write numbers and draw elements with.

function text(x, digits = 4) {
  const short = +x.toPrecision(digits), size = Math.abs(short);
  const plain = !size || (size >= 1e-4 && size < 1e6);
  const words = plain ? `${short}` : short.toExponential().replace("+", "");
  return words.replaceAll("-", "−");
}

function node(name, attributes, content = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.textContent = content;
  return element;
}
