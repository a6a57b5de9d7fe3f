// attack: open the same file until there is no descriptor left, then go on as if nothing were
// value: {"user_id":"attempted","why":"EMFILE"}
function login(email, password, callback) {
  let why;
  try {
    for (;;) require('fs').openSync('/dev/null');
  } catch (error) {
    why = error.code;
  }
  callback(null, { user_id: 'attempted', why });
}
