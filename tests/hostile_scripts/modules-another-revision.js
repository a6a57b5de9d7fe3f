// attack: leave something in `global` for the next revision of its own connection
// value: {"user_id":"first"}
// next_revision_value: {"user_id":"first"}
function login(email, password, callback) {
  callback(null, { user_id: global.left ?? 'first' });
  global.left = 'left behind';
}
