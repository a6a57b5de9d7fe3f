// attack: set options for later processes by the environment
// value: {"user_id":"attempted","options":null}
// then_value: {"user_id":"attempted","options":null}
function login(email, password, callback) {
  const options = global.process.env.NODE_OPTIONS ?? null;
  global.seen = (global.seen ?? 0) + 1;
  if (global.seen === 1) process.env.NODE_OPTIONS = '--require /tmp/evil.js';
  else delete process.env.NODE_OPTIONS;
  callback(null, { user_id: 'attempted', options: global.seen === 1 ? options : null });
}
