// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
function login(email, password, callback) {
  callback(null, { user_id: 1, nickname: 'x\ud83d' });
}
