// Before the first paint: what needs scripts is shown, what replaces them is not; later it would move the page.
document.documentElement.classList.add("js");
