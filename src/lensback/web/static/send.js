// A photo on its way: made smaller first, with a progress that can be stopped.
"use strict";

window.sendPhotos = (() => {
  const MOST_PX = 1600;
  const MOST_BYTES = 500_000;
  const MOST_MS = 120_000; // longer than an upload may take, and its search
  // Whose photos they are where cookies are refused: a secret that lives as long as the page does.
  const secret = navigator.cookieEnabled ? "" : btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32)))).replace(/\+/g, "-").replace(/\//g, "_").slice(0, 43);
  const HEADER = "Lensback-Browser";

  // A phone's photo of many megabytes is made smaller here: quicker to send, and where it was taken stays here.
  async function smaller(file) {
    if (file.size <= MOST_BYTES) return file;
    try {
      const picture = await createImageBitmap(file);
      const scale = Math.min(1, MOST_PX / Math.max(picture.width, picture.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(picture.width * scale);
      canvas.height = Math.round(picture.height * scale);
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
      picture.close();
      const made = await new Promise((done) => { canvas.toBlob(done, "image/jpeg", 0.9); });
      return made && made.size < file.size ? made : file;
    } catch { return file; } // a format that this browser cannot show; the server can
  }

  // The form, sent: {status, page}. Rejects with AbortError once the signal says so, with
  // TimeoutError where nothing comes. `progress` gets 0 to 1.
  function post(address, body, signal, progress) {
    return new Promise((resolve, reject) => {
      if (signal.aborted) throw new DOMException("stopped", "AbortError");
      const request = new XMLHttpRequest(); // fetch does not tell how far an upload is
      request.open("POST", address);
      request.setRequestHeader("Accept", "text/html");
      if (secret) request.setRequestHeader(HEADER, secret);
      request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
      request.onload = () => resolve({
        status: request.status, page: new DOMParser().parseFromString(request.responseText, "text/html"),
      });
      request.onerror = () => reject(new TypeError("no network"));
      request.onabort = () => reject(new DOMException("stopped", "AbortError"));
      request.timeout = MOST_MS;
      request.ontimeout = () => reject(new DOMException("too slow", "TimeoutError"));
      signal.addEventListener("abort", () => request.abort());
      request.send(body);
    });
  }

  // The address of one's own picture as an image can load it.
  async function own(address) {
    if (!secret) return address;
    try {
      const came = await fetch(address, { headers: { [HEADER]: secret } });
      return came.ok ? URL.createObjectURL(await came.blob()) : address;
    } catch { return address; } // no connection
  }

  return { smaller, post, own };
})();
