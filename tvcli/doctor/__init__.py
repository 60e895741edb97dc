"""Does a model do on this machine what tv says it does?"""
