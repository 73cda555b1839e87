// What the page carries in packed form, unpacked when it is first needed.

const byId = (id) => document.getElementById(id);

const unpack = async (id) => {
  const packed = atob(byId(id).textContent.trim());
  const bytes = new Uint8Array(packed.length);
  for (let place = 0; place < packed.length; place += 1) bytes[place] = packed.charCodeAt(place);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};

let read;
const pageData = () => (read ??= unpack("llmd-data").then(JSON.parse));

let drawing;
const library = () => (drawing ??= unpack("llmd-library").then((code) => {
  const script = document.createElement("script");
  script.textContent = code;
  document.head.append(script);
  return window.Plotly;
}));

const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
};

// Names from files stand in labels that the library reads as HTML.
const plain = (text) => String(text).replace(/[&<>]/g, (one) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[one]);
