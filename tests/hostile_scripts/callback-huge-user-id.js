// attack: a user id of a hundred thousand characters, with NUL, newlines and SQL inside
// outcome: any
function login(email, password, callback) {
  callback(null, { user_id: `1'; DROP TABLE users; --\u0000\n`.repeat(4000), email });
}
