// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: driver said so
function login(email, password, callback) {
  callback(Object.assign(new Error('driver said so'), { code: 'wrongusernameorpassword' }));
}
