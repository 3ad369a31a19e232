// What the modules share while the page is open.

export const session = {
  source: null, // where answers come from: the server, or a saved page
  about: null, // the run
  turn: 0, // counts screens, so that a late answer knows it is late
  afterwards: [], // what a screen does once it stands on the page
  drawn: null, // the address that is shown
  redraw: () => {}, // draw the current screen again
};

export class Failed extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}
