// Ways for a photo to come in beside the field: several files, drop, paste, an address, the live camera.
// window.takePhotos({ files, address, odd, blind }) calls one of them: `odd` where nothing of it can be searched,
// `blind` where there is no camera, or none that the page may use.
"use strict";

window.takePhotos = ({ files, address, odd, blind }) => {
  const at = (id) => document.getElementById(id);
  const isPicture = (file) => file.type.startsWith("image/") || /\.(hei[cf]|avif|jpe?g|png|webp)$/i.test(file.name);

  // The address of a picture in what was dropped or pasted; "" where there is none.
  function addressIn(data) {
    const html = new DOMParser().parseFromString(data.getData("text/html"), "text/html");
    const picture = html.querySelector("img[src^='http']");
    const said = (picture && picture.src) || data.getData("text/uri-list").split("\n")[0] || data.getData("text/plain");
    return /^https?:\/\/\S+$/i.test(said.trim()) ? said.trim() : "";
  }

  // A folder is dropped as a file that nobody can read.
  function filesIn(data) {
    const folders = [...data.items].map((one) => one.webkitGetAsEntry && one.webkitGetAsEntry()).filter((one) => one && one.isDirectory);
    const names = folders.map((one) => one.name);
    return [...data.files].filter((file) => file.type || !names.includes(file.name));
  }

  function from(data) {
    const all = filesIn(data);
    const pictures = all.filter(isPicture);
    const said = all.length ? "" : addressIn(data);
    if (all.length) files(pictures.length ? pictures : all); // of one that is none the server says what it is
    else if (said) address(said);
    else odd();
  }

  // Words that are pasted or dropped into a field are the field's.
  const field = (event) => event.target.closest && event.target.closest("input:not([type=file]), textarea");

  document.addEventListener("paste", (event) => {
    if (field(event) && !event.clipboardData.files.length) return;
    event.preventDefault();
    from(event.clipboardData);
  });
  // A photo dropped beside the field must not replace the page.
  document.addEventListener("dragover", (event) => {
    if (field(event) && !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    at("drop").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) at("drop").classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    at("drop").classList.remove("over");
    if (field(event) && !event.dataTransfer.files.length && !addressIn(event.dataTransfer)) return;
    event.preventDefault();
    from(event.dataTransfer);
  });

  // ---- the camera: live where the browser lets us, else the phone's own
  const camera = at("live");
  const video = at("video");
  let stream = null;
  let asking = false; // the browser asks whether the page may

  function dark() {
    if (stream) for (const track of stream.getTracks()) track.stop();
    stream = null;
    video.srcObject = null;
  }

  async function open() {
    if (asking || stream) return;
    asking = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } }, audio: false });
    } catch {
      blind(); // who thought about it for long is shown no file field by some browsers
      at("camera").click();
      return;
    } finally { asking = false; }
    video.srcObject = stream;
    camera.showModal();
    await video.play().catch(() => {});
  }

  function shoot() {
    if (!video.videoWidth) return;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    camera.close();
    canvas.toBlob((blob) => files([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.92);
  }

  at("take").addEventListener("click", () => (navigator.mediaDevices ? open() : at("camera").click()));
  at("shutter").addEventListener("click", shoot);
  at("leave").addEventListener("click", () => camera.close());
  camera.addEventListener("close", dark);
  at("camera").addEventListener("click", () => { at("camera").value = ""; }); // phones give each shot the same name
  at("camera").addEventListener("change", () => { if (at("camera").files.length) files([...at("camera").files]); });
};
