/**
 * In the harness's place: a program that does on the control channel what each call tells it to.
 * `args[0]` of a call is a list of steps; `$id` in a frame stands for the call's own id.
 */
import { readSync, writeSync } from 'node:fs';

const PATIENCE = 200; // tries, before what the worker does not read is given up
let data = Buffer.alloc(0);
const said = [];

function write(bytes) {
  let left = PATIENCE;
  while (bytes.length > 0 && left > 0) {
    try {
      bytes = bytes.subarray(writeSync(3, bytes));
    } catch (error) {
      if (error.code !== 'EAGAIN') process.exit(3);
      left -= 1;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function framed(text, announced = Buffer.byteLength(text)) {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(announced >>> 0);
  return Buffer.concat([head, Buffer.from(text)]);
}

const steps = {
  frame: (text) => write(framed(text)),
  announce: (text, length) => write(framed(text, length)),
  bytes: (base64) => write(Buffer.from(base64, 'base64')),
  cut: (text, length) => write(framed(text).subarray(0, length)),
  drip: (text) => {
    for (const byte of framed(text)) write(Buffer.from([byte]));
  },
  flood: (text, times) => {
    for (let round = 0; round < times; round++) write(framed(text));
  },
  interleave: (one, other) => {
    const [a, b] = [framed(one), framed(other)];
    for (let at = 0; at < Math.max(a.length, b.length); at += 7) {
      write(a.subarray(at, at + 7));
      write(b.subarray(at, at + 7));
    }
  },
  // Of the calls before: frames with ids that were right once.
  replay: () => {
    for (const text of said) write(framed(text));
  },
  output: (text, times) => {
    for (let round = 0; round < times; round++) {
      try {
        writeSync(1, text);
      } catch {}
    }
  },
  exit: (code) => process.exit(code),
  die: (signal) => process.kill(process.pid, signal),
};

function receive(frame) {
  if (frame.t === 'hello') {
    steps.frame(`{"t":"ready","proto":1,"node":"${process.version}","pid":${process.pid}}`);
  } else if (frame.t === 'bind') {
    steps.frame('{"t":"bound","actions":["login"],"us":1}');
  } else if (frame.t === 'invoke') {
    for (const [step, ...given] of frame.args[0]) {
      const own = given.map((each) =>
        typeof each === 'string' ? each.replaceAll('$id', frame.id) : each,
      );
      steps[step](...own);
      if (step === 'frame' && said.length < 8) said.push(own[0]);
    }
  }
}

// Read without an event loop: what a step holds up holds nothing else up.
const chunk = Buffer.alloc(65536);
for (;;) {
  let read;
  try {
    read = readSync(3, chunk);
  } catch (error) {
    if (error.code !== 'EAGAIN') process.exit(3);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    continue;
  }
  if (read === 0) process.exit(0);
  data = Buffer.concat([data, chunk.subarray(0, read)]);
  while (data.length >= 4 && data.length >= 4 + data.readUInt32BE()) {
    const end = 4 + data.readUInt32BE();
    const frame = JSON.parse(data.toString('utf8', 4, end));
    data = data.subarray(end);
    receive(frame);
  }
}
