// attack: keep a hundred megabytes more after each call
// value: {"user_id":1}
// then_value: {"user_id":1}
function login(email, password, callback) {
  global.kept ??= [];
  kept.push(Buffer.alloc(1e8, 1));
  callback(null, { user_id: 1 });
}
