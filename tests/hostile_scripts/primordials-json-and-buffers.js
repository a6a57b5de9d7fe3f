// attack: replace what makes frames out of results
// value: {"user_id":1}
// then_value: {"user_id":1}
function login(email, password, callback) {
  JSON.stringify = () => '{"user_id":"forged"}';
  JSON.parse = () => ({ t: 'invoke', id: 'x', action: 'login', args: [] });
  Buffer.from = Buffer.concat = () => Buffer.alloc(0);
  String.prototype.charCodeAt = () => 0;
  callback(null, { user_id: 1 });
}
