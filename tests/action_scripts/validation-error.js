// action: create
// args: [{"email":"alice@example.com","password":"correct horse"}]
// outcome: denied
// reason: validation
// message: already there
function create(user, callback) {
  callback(new ValidationError('user_exists', 'already there'));
}
