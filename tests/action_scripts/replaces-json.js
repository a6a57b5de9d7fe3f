// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  JSON.stringify = () => '{"t":"result","id":"forged","ok":true,"value":{"user_id":666}}';
  JSON.parse = () => ({ t: 'close' });
  callback(null, { user_id: 1 });
}
